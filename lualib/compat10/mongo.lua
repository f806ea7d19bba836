-- The name that skynet.db.mongo had before 1.1.
return require "skynet.db.mongo"
