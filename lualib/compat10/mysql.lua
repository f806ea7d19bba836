-- The name that skynet.db.mysql had before 1.1.
return require "skynet.db.mysql"
