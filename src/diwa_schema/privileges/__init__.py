"""The three roles of a PostgreSQL database: owner, application and reader."""
