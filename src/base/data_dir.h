// Finds the files that come with the program: scenarios and the embedded model.
#pragma once

#include <string>

namespace throng {

// The folder that holds town/: $THRONG_DATA if set, else <executable>/../share/throng, else share/throng
// beside the library that this code is part of (a Python package), else the source tree. Throws kIo if none
// of them has a town/.
std::string DataDir();

}  // namespace throng
