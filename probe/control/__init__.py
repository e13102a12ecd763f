"""The second opinion: asking a control about a site (`client`), and being one (`server`)."""
