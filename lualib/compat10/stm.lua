-- The name that skynet.stm had before 1.1.
return require "skynet.stm"
