-- The name that skynet.datacenter had before 1.1.
return require "skynet.datacenter"
