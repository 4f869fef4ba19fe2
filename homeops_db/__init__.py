"""HomeOps DB: the HomeOps database, its history, and the tooling that changes it in production."""
