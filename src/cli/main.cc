// The program: subcommands, and the one place where errors become exit codes (1: failure; 2: wrong command
// line; 3: stopped by a limit that the user set, and can be resumed).

#include <exception>
#include <new>
#include <string>

#include "app/run.h"
#include "base/error.h"
#include "base/log.h"
#include "base/simd_target.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/help_format.h"
#include "cli/flags/misuse.h"

int main(int argc, char** argv) {
  CLI::App app("Throng runs societies of LLM agents on the hardware that one has.", "throng");
  app.require_subcommand(1);
  app.formatter(throng::cli::MakeHelpFormatter());
  std::string log_level = "info";
  app.add_option("--log", log_level, "trace, debug, info, warn, error or off")->capture_default_str();
  app.parse_complete_callback([&] { throng::InitLog(log_level); });

  throng::cli::AddRun(app);
  throng::cli::AddResume(app);
  throng::cli::AddJournal(app);
  throng::cli::AddReplay(app);
  throng::cli::AddSweep(app);
  throng::cli::AddPaper(app);
  throng::cli::AddPlay(app);
  throng::cli::AddVerify(app);
  throng::cli::AddServe(app);
  throng::cli::AddGenerate(app);
  throng::cli::AddCheck(app);
  throng::cli::AddImport(app);
  throng::cli::AddInterview(app);
  throng::cli::AddLogits(app);
  throng::cli::AddTokenize(app);
  throng::cli::AddInspect(app);
  throng::cli::AddQuantize(app);
  throng::cli::AddTrace(app);
  throng::cli::AddEval(app);
  throng::cli::AddBench(app);
  throng::cli::AddHelp(app);
  throng::cli::AddVersion(app);
  // Set after the subcommands are added, as they would inherit it.
  app.footer(
      "throng COMMAND --help says more.\nExample:\n  throng run --until 09:00\nTHRONG_FORCE_TARGET=AVX2 "
      "keeps kernels "
      "from newer instructions, as on a machine without them.");

  try {
    throng::ApplyForcedTarget();
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    fmt::print(stderr, "throng: {}\n", throng::cli::DescribeMisuse(app, error));
    return throng::cli::kMisusedExitCode;
  } catch (const throng::app::Stopped& stopped) {
    fmt::print(stderr, "throng: stopped: {}\n", stopped.what());
    return throng::app::Stopped::kExitCode;
  } catch (const throng::Error& error) {
    fmt::print(stderr, "throng: {}\n", error.what());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "throng: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "throng: unexpected: {}\n", error.what());
  }
  return 1;
}
