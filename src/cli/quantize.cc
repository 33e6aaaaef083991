// throng quantize: a model with smaller weights, as a GGUF file.

#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/log.h"
#include "base/text/human_bytes.h"
#include "base/thread_pool.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/progress_line.h"
#include "model/folder/folder.h"
#include "model/quantize/quantize_model.h"

namespace throng::cli {
namespace {

struct Options {
  std::string source;
  std::string out;
  std::string type = "q4_k";
  bool pure = false;
  bool requantize = false;
  int threads = 0;
};

void LogFallbacks(const std::vector<model::QuantizePlan>& plan, model::TensorType type) {
  for (const model::QuantizePlan& each : plan) {
    if (!each.fell_back) continue;
    spdlog::info("{}: rows of {} weights are no whole blocks; it becomes {}", each.tensor->name,
                 each.tensor->dims[0], model::TensorTypeName(each.type));
  }
}

void Print(const model::QuantizeReport& report) {
  fmt::print("{:<8}{:>8}{:>16}{:>12}{:>18}\n", "type", "tensors", "weights", "size", "relative error");
  for (const model::TypeReport& type : report.types) {
    fmt::print("{:<8}{:>8}{:>16}{:>12}{:>16.3f} %\n", model::TensorTypeName(type.type), type.tensors,
               type.elements, HumanBytes(static_cast<double>(type.bytes)), 100 * type.error);
  }
  fmt::print("{} before, {} after: {:.2f} times smaller\n",
             HumanBytes(static_cast<double>(report.bytes_before)),
             HumanBytes(static_cast<double>(report.bytes_after)),
             static_cast<double>(report.bytes_before) / static_cast<double>(report.bytes_after));
}

void Run(const Options& options) {
  const model::QuantizeOptions quantize{model::ParseQuantizedType(options.type), options.pure,
                                        options.requantize};
  const std::unique_ptr<model::GgufFile> file = model::OpenModel(options.source);
  const std::vector<model::QuantizePlan> plan = model::PlanQuantization(*file, quantize);
  LogFallbacks(plan, quantize.type);
  ThreadPool threads(ThreadsOrAll(options.threads));
  ProgressLine line(false);
  const model::QuantizeReport report =
      model::QuantizeModel(*file, plan, quantize, options.out, threads, [&](uint64_t done, uint64_t all) {
        line.ShowRarely(fmt::format("{:.0f} % of the weights",
                                    100.0 * static_cast<double>(done) / static_cast<double>(all)));
      });
  line.Clear();
  Print(report);
}

}  // namespace

void AddQuantize(CLI::App& app) {
  CLI::App* command = app.add_subcommand("quantize", "Write a model with smaller weights, as a GGUF file");
  const auto options = std::make_shared<Options>();
  command->add_option("source", options->source, "GGUF file or folder of safetensors, in F32, F16 or BF16")
      ->required();
  command->add_option("out", options->out, "GGUF file to write")->required();
  command->add_option("--type", options->type, "q8_0, q6_k, q4_k, q4_0 or iq4_xs")->capture_default_str();
  command->add_flag("--pure", options->pure,
                    "The output matrix and the embedding too; else these are Q6_K or finer");
  command->add_flag("--requantize", options->requantize,
                    "Allow weights that are quantised already, which lose more than by quantising once");
  command->add_option("--threads", options->threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->footer(
      "Norms, biases, routers and small tensors stay F32. The error of a type is the root of the mean\n"
      "square of what is wrong with its weights, relative to that of the weights (docs/models.md).\n"
      "Examples:\n"
      "  throng quantize Qwen3-0.6B qwen3.q4_k.gguf\n"
      "  throng quantize model.f16.gguf model.q6_k.gguf --type q6_k");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
