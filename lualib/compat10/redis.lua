-- The name that skynet.db.redis had before 1.1.
return require "skynet.db.redis"
