-- The name that skynet.multicast had before 1.1.
return require "skynet.multicast"
