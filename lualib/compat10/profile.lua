-- The name that skynet.profile had before 1.1.
return require "skynet.profile"
