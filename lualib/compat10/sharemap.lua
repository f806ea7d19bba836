-- The name that skynet.sharemap had before 1.1.
return require "skynet.sharemap"
