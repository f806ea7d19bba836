-- The name that skynet.memory had before 1.1.
return require "skynet.memory"
