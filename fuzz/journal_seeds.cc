// Writes a small journal, whole and truncated, as first inputs for journal_fuzz.

#include <filesystem>
#include <fstream>
#include <string>

#include "base/mapped_file.h"
#include "journal/journal.h"
#include "llm/backends/fake.h"
#include "sim/run/run.h"
#include "trace/trace.h"
#include "trace/trace_world.h"

using namespace throng;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  const std::string path = folder + "/small";
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(path + suffix);
  const auto world = trace::MakeTraceWorld(
      trace::ParseTrace(R"({"agents":["Ann","Bob"],"steps":4,"sec_per_step":10,"grid":[20,10]})"
                        "\n"
                        R"({"s":0,"m":[[0,1,1],[1,3,1]]})"
                        "\n"
                        R"({"s":1,"a":0,"action":"reading @ home"})",
                        "seed"),
      4);
  llm::FakeLlm backend;
  sim::RunOptions options;
  options.steps = 4;
  {
    const auto journal = journal::Journal::Create(path);
    journal->Begin({}, *world, options, backend.Identity());
    journal->StartSession();
    options.observers = {journal.get()};
    journal->SetHash(sim::RunWorld(*world, backend, options).hash);
    llm::Completion answer;
    answer.key = {1, 2, 0};
    answer.text = "park";
    llm::Request request;
    request.key = answer.key;
    request.prompt = "Where to?\nNext:";
    journal->AddAnswer(answer, journal->AddQuestion(request), 0.0, 1.0);
    journal->AddDatum(2, std::nullopt, "wealth", 1.5);
    journal->EndSession("done");
  }
  const std::string bytes = ReadFile(path);
  std::ofstream(folder + "/cut", std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  for (const char* suffix : {"-wal", "-shm", ".lock"}) std::filesystem::remove(path + suffix);
  return 0;
}
