#include "cli/flags/codec_lists.h"

namespace throng::cli {

std::vector<std::string> SplitCodecs(std::string_view text) {
  std::vector<std::string> codecs;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    // The value of a pair's first codec may be followed by the second codec: "r=4+rot2:...".
    const bool is_parameter = item.find('=') < item.find(':');
    if (is_parameter && !codecs.empty()) {
      codecs.back().append(",").append(item);
    } else if (!item.empty()) {
      codecs.emplace_back(item);
    }
  }
  return codecs;
}

}  // namespace throng::cli
