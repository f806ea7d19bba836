-- The name that skynet.mqueue had before 1.1.
return require "skynet.mqueue"
