// Runs the kernels on a device, and says in lines of JSON what came out: whether results are those of the
// emulation, and how long they take. scripts/gpu_check runs it; it needs nothing but CUDA.
//
//   device_check DEVICE STAGE [tiny]     DEVICE: emulated, or cuda:N     tiny: shapes for the emulation
//
// Exit status 1 if a result is wrong, 2 if the device or the call is.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/check/model_kernels.h"
#include "device/check/pages.h"
#include "device/cuda/cuda_device.h"
#include "device/emulation/emulated_device.h"

namespace throng::device {
namespace {

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    norm += static_cast<double>(b[i]) * b[i];
  }
  return std::isfinite(difference) ? std::sqrt(difference / std::max(norm, 1e-300)) : INFINITY;
}

std::string NameOf(const CodecKernels& codec) {
  return std::string(codec.name) + "\", \"head_dim\": " + std::to_string(codec.head_dim);
}

// Of a launch, in seconds: the median of five runs of about 10 ms each.
template <typename Call>
double Seconds(Device& device, Call& call) {
  using Clock = std::chrono::steady_clock;
  const auto run = [&](int count) {
    const auto begin = Clock::now();
    for (int i = 0; i < count; ++i) call.Launch();
    device.Wait();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const double first = std::max(run(2) / 2, 1e-9);  // loads the kernel
  const int count = std::clamp(static_cast<int>(0.01 / std::min(first, run(1))), 1, 1000);
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) times.push_back(run(count) / count);
  std::sort(times.begin(), times.end());
  return times[2];
}

// Shapes of a layer and of what is in its cache.
struct Shape {
  int sequences;
  int length;
};
struct Chunk {
  int before;
  int tokens;
};

class Check {
 public:
  Check(Device& device, bool tiny) : device_(device), tiny_(tiny) {}

  // Each kernel on the device and in emulation, on the same rows.
  bool Tests() {
    const auto emulated = MakeEmulatedDevice({.seed = 99});
    for (const CodecKernels& codec : kCodecKernels) {
      if (tiny_ && codec.head_dim != 64) continue;
      TestSeal(*emulated, codec);
      TestDecode(*emulated, codec);
      TestPrefill(*emulated, codec, false);
      if (codec.prefill_sas) TestPrefill(*emulated, codec, true);
    }
    CompareModelKernels(
        device_, *emulated, tiny_,
        [&](const std::string& kernel, const std::vector<float>& got, const std::vector<float>& expected,
            bool exact) { ReportModel(kernel, RelativeError(got, expected), exact ? 0.0 : 1e-6); });
    return right_;
  }

  // Products of one row, of a few and of a chunk with matrices of a layer.
  void Products() {
    const int outputs = tiny_ ? 64 : 14336;
    const int cols = tiny_ ? 256 : 4096;
    for (const WeightFormat& format : WeightFormats()) {
      for (const int rows : {1, 8, 16, tiny_ ? 32 : 512}) {
        ProductCall call(device_, format, outputs, cols, rows);
        const double seconds = Seconds(device_, call);
        std::printf(
            "{\"format\": \"%s\", \"outputs\": %d, \"cols\": %d, \"rows\": %d, \"seconds\": %.3e, "
            "\"bytes_per_second\": %.3e, \"operations_per_second\": %.3e}\n",
            format.name, outputs, cols, rows, seconds, call.BytesRead() / seconds,
            2.0 * rows * outputs * cols / seconds);
        std::fflush(stdout);
      }
    }
  }

  void Attention() {
    const std::vector<Shape> shapes =
        tiny_ ? std::vector<Shape>{{1, 70}}
              : std::vector<Shape>{{1, 32768}, {8, 16384}, {64, 4096}, {256, 1024}};
    const std::vector<Chunk> chunks =
        tiny_ ? std::vector<Chunk>{{64, 64}} : std::vector<Chunk>{{0, 2048}, {0, 8192}, {16384, 512}};
    for (const CodecKernels& codec : Measured()) {
      for (const Shape& shape : shapes) TimeDecode(codec, shape);
      for (const Chunk& chunk : chunks) {
        TimePrefill(codec, chunk, false);
        if (codec.prefill_sas) TimePrefill(codec, chunk, true);
      }
    }
  }

  // Attention of a token of each of as many sequences as have room: of one layer, in its share of the memory.
  void Throughput() {
    const double budget = tiny_ ? 4 << 20 : double{1 << 30} * 8;
    const int length = tiny_ ? 129 : 8192;
    for (const CodecKernels& codec : Measured()) {
      const Pages one(device_, codec, kKvHeads, 0, 0, 1);
      const double of_sequence =
          static_cast<double>((length - 1) / 64) * static_cast<double>(one.BlockBytes()) +
          static_cast<double>(one.OpenBlockBytes());
      const int sequences = std::max(1, static_cast<int>(budget / kLayers / of_sequence));
      DecodeCall call(device_, codec, kKvHeads, kGroup, sequences, length, kDistinct);
      const double seconds = Seconds(device_, call);
      std::printf(
          "{\"codec\": \"%s, \"budget_bytes\": %.0f, \"length\": %d, \"sequences\": %d, "
          "\"seconds_of_layer\": %.3e, \"tokens_per_second_of_attention\": %.1f}\n",
          NameOf(codec).c_str(), budget, length, sequences, seconds, sequences / (kLayers * seconds));
      std::fflush(stdout);
    }
  }

  // Few launches of each kernel, for a profiler to look at.
  void Counters() {
    for (const CodecKernels& codec : Measured()) {
      DecodeCall decode(device_, codec, kKvHeads, kGroup, 1, tiny_ ? 70 : 16384, kDistinct);
      decode.Launch();
      PrefillCall prefill(device_, codec, kKvHeads, kGroup, 0, tiny_ ? 64 : 2048, false, kDistinct);
      prefill.Launch();
      device_.Wait();
      std::printf("{\"codec\": \"%s, \"bytes_read_by_decode\": %.0f}\n", NameOf(codec).c_str(),
                  decode.BytesRead());
    }
  }

 private:
  static constexpr int kKvHeads = 8, kGroup = 4, kLayers = 32;
  static constexpr int kDistinct = 64;

  std::vector<CodecKernels> Measured() const {
    std::vector<CodecKernels> codecs;
    for (const CodecKernels& codec : kCodecKernels) {
      if (codec.head_dim == (tiny_ ? 64 : 128)) codecs.push_back(codec);
    }
    if (tiny_) codecs.resize(3);
    return codecs;
  }

  void Report(const CodecKernels& codec, const char* kernel, double error, double allowed) {
    const bool right = error <= allowed;
    right_ = right_ && right;
    std::printf("{\"codec\": \"%s, \"kernel\": \"%s\", \"error\": %.3e, \"allowed\": %.1e, \"right\": %s}\n",
                NameOf(codec).c_str(), kernel, error, allowed, right ? "true" : "false");
    std::fflush(stdout);
  }

  void ReportModel(const std::string& kernel, double error, double allowed) {
    const bool right = error <= allowed;
    right_ = right_ && right;
    std::printf("{\"kernel\": \"%s\", \"error\": %.3e, \"allowed\": %.1e, \"right\": %s}\n", kernel.c_str(),
                error, allowed, right ? "true" : "false");
    std::fflush(stdout);
  }

  void TestSeal(Device& emulated, const CodecKernels& codec) {
    if (!codec.seal) return;
    const int blocks = tiny_ ? 1 : 2;
    const Pages got(device_, codec, 1, blocks, 0, blocks);
    const Pages expected(emulated, codec, 1, blocks, 0, blocks);
    const auto a = got.ToHost(blocks);
    const auto b = expected.ToHost(blocks);
    double wrong = 0.0;
    for (size_t i = 0; i < a.size(); ++i) wrong += a[i] != b[i] ? 1.0 : 0.0;
    Report(codec, "seal", wrong / static_cast<double>(a.size()), 0.0);
  }

  // Exponentials differ in their last places, so that a weight in some thousands is rounded to its other
  // neighbour.
  void TestDecode(Device& emulated, const CodecKernels& codec) {
    const int length = tiny_ ? 70 : 64 * 18 + 5;
    DecodeCall got(device_, codec, 2, 3, 2, length, 2);
    DecodeCall expected(emulated, codec, 2, 3, 2, length, 2);
    got.Launch();
    expected.Launch();
    device_.Wait();
    const std::vector<float> launched = got.Out();
    Report(codec, "decode", RelativeError(launched, expected.Out()), codec.name == "f16" ? 1e-5 : 5e-4);
    const auto graph = device_.Capture(got.List());
    graph->Launch();
    graph->Launch();
    Report(codec, "decode_as_graph", got.Out() == launched ? 0.0 : 1.0, 0.0);
  }
  void TestPrefill(Device& emulated, const CodecKernels& codec, bool sas) {
    const int tokens = tiny_ ? 20 : 128;
    PrefillCall got(device_, codec, 2, 4, 128, tokens, sas, 2);
    PrefillCall expected(emulated, codec, 2, 4, 128, tokens, sas, 2);
    got.Launch();
    expected.Launch();
    device_.Wait();
    Report(codec, sas ? "prefill_sas" : "prefill", RelativeError(got.Out(), expected.Out()),
           sas ? 2e-3 : 5e-4);
    // The engine relies on it: a token's bits do not depend on how many come with it.
    Report(codec, sas ? "prefill_sas_as_decode" : "prefill_as_decode",
           got.Out() == got.OneByOne() ? 0.0 : 1.0, 0.0);
  }

  void TimeDecode(const CodecKernels& codec, const Shape& shape) {
    DecodeCall call(device_, codec, kKvHeads, kGroup, shape.sequences, shape.length, kDistinct);
    const double seconds = Seconds(device_, call);
    std::printf(
        "{\"codec\": \"%s, \"kernel\": \"decode\", \"sequences\": %d, \"length\": %d, \"kv_heads\": %d, "
        "\"group\": %d, \"seconds\": %.3e, \"bytes\": %.0f, \"bytes_per_second\": %.3e}\n",
        NameOf(codec).c_str(), shape.sequences, shape.length, kKvHeads, kGroup, seconds, call.BytesRead(),
        call.BytesRead() / seconds);
    std::fflush(stdout);
  }
  void TimePrefill(const CodecKernels& codec, const Chunk& chunk, bool sas) {
    PrefillCall call(device_, codec, kKvHeads, kGroup, chunk.before, chunk.tokens, sas, kDistinct);
    const double seconds = Seconds(device_, call);
    std::printf(
        "{\"codec\": \"%s, \"kernel\": \"%s\", \"before\": %d, \"tokens\": %d, \"kv_heads\": %d, "
        "\"group\": %d, \"seconds\": %.3e, \"operations_per_second\": %.3e}\n",
        NameOf(codec).c_str(), sas ? "prefill_sas" : "prefill", chunk.before, chunk.tokens, kKvHeads, kGroup,
        seconds, call.Products() / seconds);
    std::fflush(stdout);
  }

  Device& device_;
  const bool tiny_;
  bool right_ = true;
};

std::unique_ptr<Device> MakeDevice(const std::string& name) {
  if (name == "emulated") return MakeEmulatedDevice({.seed = 1});
  if (name.rfind("cuda:", 0) == 0) return MakeCudaDevice(std::atoi(name.c_str() + 5));
  return nullptr;
}

int Run(const std::string& device_name, std::string_view stage, bool tiny) {
  const std::unique_ptr<Device> device = MakeDevice(device_name);
  if (device == nullptr) {
    std::fprintf(stderr, "device_check: unknown device %s (allowed: emulated, cuda:N)\n",
                 device_name.c_str());
    return 2;
  }
  std::printf("{\"device\": \"%s\"}\n", device->Name().c_str());
  Check check(*device, tiny);
  if (stage == "tests") return check.Tests() ? 0 : 1;
  if (stage == "attention") return check.Attention(), 0;
  if (stage == "products") return check.Products(), 0;
  if (stage == "throughput") return check.Throughput(), 0;
  if (stage == "counters") return check.Counters(), 0;
  std::fprintf(stderr,
               "device_check: unknown stage %s (allowed: tests, attention, products, throughput, counters)\n",
               std::string(stage).c_str());
  return 2;
}

}  // namespace
}  // namespace throng::device

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4 || (argc == 4 && std::string_view(argv[3]) != "tiny")) {
    std::fprintf(stderr,
                 "usage: device_check emulated|cuda:N tests|attention|products|throughput|counters [tiny]\n");
    return 2;
  }
  try {
    return throng::device::Run(argv[1], argv[2], argc == 4);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "device_check: %s\n", error.what());
    return 2;
  }
}
