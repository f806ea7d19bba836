-- The name that skynet.socketdriver had before 1.1.
return require "skynet.socketdriver"
