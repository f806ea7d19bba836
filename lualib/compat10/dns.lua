-- The name that skynet.dns had before 1.1.
return require "skynet.dns"
