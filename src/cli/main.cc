// The program: subcommands, and the one place where errors become exit codes (1: it failed, 2: it was called
// wrongly; 3: a limit that
// the user set has stopped it, and it can go on).

#include <algorithm>
#include <exception>
#include <new>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/simulate.h"

namespace {

bool IsSubcommand(CLI::App& app, const std::string& name) {
  const auto all = app.get_subcommands([](CLI::App*) { return true; });
  return std::any_of(all.begin(), all.end(), [&](CLI::App* command) { return command->check_name(name); });
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
    // What is not known is said before that a subcommand is missing, which CLI11 checks first.
    if (argc > 1 && argv[1][0] != '-' && !IsSubcommand(app, argv[1])) {
      fmt::print(stderr, "throng: \"{}\" is not a subcommand; see throng --help\n", argv[1]);
      return 2;
    }
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const throng::cli::Stopped& stopped) {
    fmt::print(stderr, "throng: stopped: {}\n", stopped.what());
    return throng::cli::Stopped::kExitCode;
  } catch (const throng::Error& error) {
    fmt::print(stderr, "throng: {}\n", error.what());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "throng: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "throng: unexpected: {}\n", error.what());
  }
  return 1;
}
