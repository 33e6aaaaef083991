#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace throng::cli {

void AddVersion(CLI::App& app) {
  CLI::App* command = app.add_subcommand("version", "Print the version");
  command->callback([] { fmt::print("throng {}\n", THRONG_VERSION); });
}

}  // namespace throng::cli
