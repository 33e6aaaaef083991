// Formats byte counts for people.
#pragma once

#include <string>

namespace throng {

// "1.5 MB", "740 B".
std::string HumanBytes(double bytes);

}  // namespace throng
