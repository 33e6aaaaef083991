#include "model/load/refusals.h"

namespace throng::model {
namespace {

constexpr size_t kMostNames = 12;
constexpr size_t kMostCharacters = 100;  // of a name

}  // namespace

std::string NamesAre(std::string_view kind, const std::vector<std::string_view>& names) {
  std::string text = fmt::format("{}{}", kind, names.size() == 1 ? "" : "s");
  const size_t shown = names.size() <= kMostNames ? names.size() : kMostNames - 1;
  for (size_t i = 0; i < shown; ++i) {
    const bool is_last = i + 1 == names.size();
    text += i == 0 ? " " : is_last ? " and " : ", ";
    text += names[i].substr(0, kMostCharacters);
  }
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
  return text + (names.size() == 1 ? " is" : " are");
}

}  // namespace throng::model
