-- The name that skynet.socketchannel had before 1.1.
return require "skynet.socketchannel"
