#include "cli/flags/misuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cli/cli11.h"

namespace throng::cli {

namespace {

// Edit distance: letters to insert, delete, replace or swap with their neighbour.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  std::iota(rows[0].begin(), rows[0].end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    rows[i][0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.size()][b.size()];
}

std::vector<std::string> FlagsOf(const CLI::App& command) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

std::vector<std::string> SubcommandsOf(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* each : command.get_subcommands({})) names.push_back(each->get_name());
  return names;
}

}  // namespace

std::string DidYouMean(std::string_view word, const std::vector<std::string>& names) {
  constexpr std::string_view kDashes = "-";
  const size_t letters = word.size() - std::min(word.find_first_not_of(kDashes), word.size());
  const std::string* best = nullptr;
  size_t least = std::max<size_t>(1, letters / 3) + 1;
  for (const std::string& name : names) {
    const bool is_beginning = letters >= 3 && name.starts_with(word);
    const size_t distance = is_beginning ? 1 : EditDistance(word, name);
    if (distance >= least) continue;
    least = distance;
    best = &name;
  }
  return best == nullptr ? "" : fmt::format(", did you mean {}?", *best);
}

std::string DescribeMisuse(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string path = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
  }
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  const auto flag = std::find_if(rest.begin(), rest.end(), [](const auto& word) { return word[0] == '-'; });
  const std::string see = fmt::format("; see {} --help", path);
  if (flag != rest.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    const std::string guess = DidYouMean(name, FlagsOf(*command));
    return fmt::format("{} has no flag {}{}", path, name, guess.empty() ? see : guess);
  }
  const std::vector<std::string> subcommands = SubcommandsOf(*command);
  if (!rest.empty() && !subcommands.empty()) {
    const std::string guess = DidYouMean(rest.front(), subcommands);
    return fmt::format("\"{}\" is not a subcommand of {}{}", rest.front(), path, guess.empty() ? see : guess);
  }
  if (!rest.empty()) return fmt::format("\"{}\" was not expected{}", rest.front(), see);
  return error.what() + see;
}

}  // namespace throng::cli
