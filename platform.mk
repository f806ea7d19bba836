# What differs between platforms when C is built for a node. Projects include this file from their
# own Makefile: it offers PLATS, PLAT, SHARED (linking a module), EXPORT (linking an executable
# whose symbols modules use) and SKYNET_LIBS, and turns `make linux` into `make all PLAT=linux`.

PLATS := linux macosx freebsd

# The platform we run on, if it is one of them; `make PLAT=...` overrides.
uname-to-plat.Linux := linux
uname-to-plat.Darwin := macosx
uname-to-plat.FreeBSD := freebsd
PLAT ?= $(or $(uname-to-plat.$(shell uname -s)),none)

CC ?= cc

SHARED.macosx := -fPIC -dynamiclib -Wl,-undefined,dynamic_lookup
SHARED := $(or $(SHARED.$(PLAT)),-fPIC -shared)

EXPORT.linux := -Wl,-E
EXPORT.freebsd := -Wl,-E
EXPORT := $(EXPORT.$(PLAT))

LIBS.linux := -lrt -ldl
LIBS.freebsd := -lrt
LIBS.macosx := -ldl
SKYNET_LIBS := -lpthread -lm $(LIBS.$(PLAT))

.PHONY: default none all $(PLATS)

default: $(PLAT)

none:
	@echo "Say for which platform: make PLATFORM, where PLATFORM is one of: $(PLATS)" >&2
	@exit 1

$(PLATS):
	@$(if $(filter linux,$@),,echo "note: $@ is untested; linux is what this is developed on" >&2)
	+@$(MAKE) --no-print-directory all PLAT=$@
