// throng help and throng version.

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/misuse.h"

namespace throng::cli {

namespace {

void PrintHelp(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  std::string path;  // names of its parents
  for (const std::string& word : words) {
    const auto found = command->get_subcommands([&](const CLI::App* each) { return each->check_name(word); });
    path += (path.empty() ? "" : " ") + command->get_name();
    if (found.empty()) {
      std::vector<std::string> names;
      for (const CLI::App* each : command->get_subcommands({})) names.push_back(each->get_name());
      throw MakeError(ErrorCode::kInvalid, "\"{}\" is not a subcommand of {}{}", word, path,
                      DidYouMean(word, names));
    }
    command = found.front();
  }
  // app.help() would print the text of the parsed subcommand `help`, not that of the program.
  fmt::print("{}", words.empty()
                       ? app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal)
                       : command->help(path));
}

}  // namespace

void AddHelp(CLI::App& app) {
  CLI::App* command = app.add_subcommand("help", "Explain a subcommand, as its --help does");
  const auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("command", *words, "Such as run, or journal fork; default: the program itself");
  command->footer("Example:\n  throng help journal fork");
  command->callback([&app, words] { PrintHelp(app, *words); });
}

void AddVersion(CLI::App& app) {
  const std::string version = "throng " THRONG_VERSION;
  app.set_version_flag("--version", version, "Print the version");
  CLI::App* command = app.add_subcommand("version", "Print the version");
  command->footer("Example:\n  throng version");
  command->callback([version] { fmt::print("{}\n", version); });
}

}  // namespace throng::cli
