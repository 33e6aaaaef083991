// One function per subcommand: it declares the flags and what runs. Each is in the file of its name.
#pragma once

namespace CLI {
class App;
}

namespace throng::cli {

inline constexpr int kMisusedExitCode = 2;  // the command line is wrong

void AddBench(CLI::App& app);
void AddBenchEngine(CLI::App& bench);      // of `throng bench`
void AddBenchEviction(CLI::App& bench);    // of `throng bench`
void AddBenchLatency(CLI::App& bench);     // of `throng bench`
void AddBenchScheduler(CLI::App& bench);   // of `throng bench`
void AddBenchServer(CLI::App& bench);      // of `throng bench`
void AddBenchThroughput(CLI::App& bench);  // of `throng bench`
void AddCheck(CLI::App& app);
void AddEval(CLI::App& app);
void AddGenerate(CLI::App& app);
void AddHelp(CLI::App& app);  // in help.cc, as AddVersion
void AddImport(CLI::App& app);
void AddInspect(CLI::App& app);
void AddInterview(CLI::App& app);
void AddJournal(CLI::App& app);
void AddLogits(CLI::App& app);
void AddPaper(CLI::App& app);
void AddPlay(CLI::App& app);
void AddQuantize(CLI::App& app);
void AddReplay(CLI::App& app);
void AddResume(CLI::App& app);
void AddRun(CLI::App& app);
void AddServe(CLI::App& app);
void AddSweep(CLI::App& app);
void AddTokenize(CLI::App& app);
void AddTrace(CLI::App& app);
void AddVerify(CLI::App& app);
void AddVersion(CLI::App& app);

}  // namespace throng::cli
