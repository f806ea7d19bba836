-- The name that skynet.netpack had before 1.1.
return require "skynet.netpack"
