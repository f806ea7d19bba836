-- The name that skynet.snax had before 1.1.
return require "skynet.snax"
