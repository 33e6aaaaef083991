// The code of CLI11 that cli11.h leaves out of other files.

#include "cli/cli11.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
