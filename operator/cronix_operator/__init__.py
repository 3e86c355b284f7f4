"""The operator: one CronixApp in, native CronJobs kept exactly as the app declares them."""
