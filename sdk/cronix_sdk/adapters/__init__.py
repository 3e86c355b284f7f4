"""Web servers and frameworks → `Cron.handle`; each file imports its framework only when it is asked for."""
