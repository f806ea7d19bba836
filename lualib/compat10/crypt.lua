-- The name that skynet.crypt had before 1.1.
return require "skynet.crypt"
