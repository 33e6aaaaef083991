// The program: subcommands, and the one place where errors become exit codes (1: it failed, 2: it was called
// wrongly; 3: a limit that the user set has stopped it, and it can go on).

#include <CLI/CLI.hpp>
#include <exception>
#include <new>
#include <string>

#include "app/run.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"

namespace {

// What is wrong with the words that stand where subcommands must; empty if nothing is. CLI11 would only say
// that a subcommand is missing.
std::string CheckSubcommands(CLI::App* command, int argc, char** argv) {
  std::string path = "throng";
  for (int i = 1; i < argc && argv[i][0] != '-' && command->get_require_subcommand_min() > 0; ++i) {
    const auto found = command->get_subcommands([&](CLI::App* each) { return each->check_name(argv[i]); });
    if (found.empty()) return fmt::format("\"{}\" is not a subcommand; see {} --help", argv[i], path);
    command = found.front();
    path += fmt::format(" {}", argv[i]);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Throng runs societies of LLM agents on the hardware that one has.", "throng");
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  std::string log_level = "info";
  app.add_option("--log", log_level, "trace, debug, info, warn, error or off")->capture_default_str();
  app.parse_complete_callback([&] { throng::InitLog(log_level); });

  throng::cli::AddRun(app);
  throng::cli::AddResume(app);
  throng::cli::AddJournal(app);
  throng::cli::AddReplay(app);
  throng::cli::AddSweep(app);
  throng::cli::AddPaper(app);
  throng::cli::AddVerify(app);
  throng::cli::AddServe(app);
  throng::cli::AddGenerate(app);
  throng::cli::AddInterview(app);
  throng::cli::AddLogits(app);
  throng::cli::AddTokenize(app);
  throng::cli::AddTrace(app);
  throng::cli::AddEval(app);
  throng::cli::AddBench(app);
  throng::cli::AddVersion(app);

  try {
    const std::string wrong = CheckSubcommands(&app, argc, argv);
    if (!wrong.empty()) {
      fmt::print(stderr, "throng: {}\n", wrong);
      return 2;
    }
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const throng::app::Stopped& stopped) {
    fmt::print(stderr, "throng: stopped: {}\n", stopped.what());
    return throng::cli::kStoppedExitCode;
  } catch (const throng::Error& error) {
    fmt::print(stderr, "throng: {}\n", error.what());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "throng: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "throng: unexpected: {}\n", error.what());
  }
  return 1;
}
