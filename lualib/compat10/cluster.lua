-- The name that skynet.cluster had before 1.1.
return require "skynet.cluster"
