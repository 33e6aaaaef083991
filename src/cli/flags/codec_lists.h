// Parses lists of codecs on the command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace throng::cli {

// Splits "int8,gear2:r=4,s=2%,rot4": a comma before key=value belongs to the codec before it. Empty items are
// left out.
std::vector<std::string> SplitCodecs(std::string_view text);

}  // namespace throng::cli
