-- The name that skynet.sharedata had before 1.1.
return require "skynet.sharedata"
