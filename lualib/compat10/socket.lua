-- The name that skynet.socket had before 1.1.
return require "skynet.socket"
