#include "model/quantize/quantize_model.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf_values.h"
#include "model/gguf/gguf_writer.h"
#include "model/matmul/block_formats.h"
#include "model/quantize/quantize_row.h"

namespace throng::model {
namespace {

constexpr uint64_t kSmall = 1024;             // elements of a tensor that is not worth it
constexpr uint64_t kChunkElements = 1 << 22;  // that are quantised before they are written
constexpr float kLargest = 65504.0f;          // of F16, which scales are in

// Parts of names of tensors that are small, or that little of the model's work goes through and much of its
// quality: norms, the choice of experts, positions, and the short convolutions of recurrent layers.
constexpr std::string_view kKept[] = {"norm",        "ffn_gate_inp", "position_embd",
                                      "token_types", "ssm_conv1d",   "shortconv.conv"};

uint64_t Elements(const TensorInfo& tensor) {
  uint64_t elements = 1;
  for (const uint64_t dim : tensor.dims) elements *= dim;
  return elements;
}

bool IsFloat(TensorType type) { return BlockSizeOf(type)->elements == 1; }

bool IsKept(const TensorInfo& tensor) {
  const auto is_in_name = [&](std::string_view part) {
    return tensor.name.find(part) != std::string_view::npos;
  };
  return tensor.num_dims < 2 || !tensor.name.ends_with(".weight") || Elements(tensor) < kSmall ||
         std::ranges::any_of(kKept, is_in_name);
}

// Bits for each weight.
double Bits(TensorType type) {
  const BlockSize block = *BlockSizeOf(type);
  return 8.0 * block.bytes / block.elements;
}

TensorType Wanted(const TensorInfo& tensor, const QuantizeOptions& options) {
  const bool is_token = tensor.name == "output.weight" || tensor.name == "token_embd.weight";
  const bool coarse = Bits(options.type) < Bits(TensorType::kQ6_K);
  return is_token && coarse && !options.pure ? TensorType::kQ6_K : options.type;
}

// general.file_type of llama.cpp.
uint32_t FileType(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
      return 2;
    case TensorType::kQ8_0:
      return 7;
    case TensorType::kQ4_K:
      return 14;
    case TensorType::kQ6_K:
      return 18;
    default:
      return 30;  // IQ4_XS
  }
}

GgufWriter WriteHeader(const GgufFile& file, const std::vector<QuantizePlan>& plan, TensorType type) {
  GgufWriter writer;
  for (const std::string_view key : file.Keys()) {
    if (key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
        key.starts_with("split.")) {
      continue;
    }
    writer.Copy(key, file);
  }
  writer.Add("general.file_type", FileType(type));
  writer.Add("general.quantization_version", 2u);
  for (const QuantizePlan& each : plan) {
    const auto num_dims = static_cast<size_t>(std::max(each.tensor->num_dims, 1));
    writer.DeclareTensor(each.tensor->name, each.type, std::span(each.tensor->dims).first(num_dims));
  }
  return writer;
}

// Squares of weights and of what is wrong with them.
struct Squares {
  double weights = 0, errors = 0;
};

// Quantises rows of one tensor in parallel.
class RowQuantizer {
 public:
  RowQuantizer(const GgufFile& file, const QuantizePlan& plan, ThreadPool& threads)
      : file_(file), tensor_(*plan.tensor), type_(plan.type), threads_(threads), cols_(tensor_.dims[0]) {
    const auto row_bytes = [&](TensorType type) {
      return cols_ / BlockSizeOf(type)->elements * BlockSizeOf(type)->bytes;
    };
    from_bytes_ = row_bytes(tensor_.type);
    to_bytes_ = row_bytes(type_);
  }

  uint64_t Rows() const { return tensor_.data.size() / from_bytes_; }

  // Rows [first, first + count) as bytes.
  std::vector<uint8_t> Quantize(uint64_t first, uint64_t count) {
    std::vector<uint8_t> out(count * to_bytes_);
    std::vector<Squares> squares(count);
    threads_.ParallelFor(count, [&](size_t i, int) {
      const uint8_t* from = tensor_.data.data() + (first + i) * from_bytes_;
      uint8_t* to = out.data() + i * to_bytes_;
      squares[i] = QuantizeOne(from, to);
    });
    for (const Squares& row : squares) {  // in one order, whatever the threads did
      squares_.weights += row.weights;
      squares_.errors += row.errors;
    }
    return out;
  }

  const Squares& Total() const { return squares_; }

 private:
  Squares QuantizeOne(const uint8_t* from, uint8_t* to) const {
    std::vector<float> x(cols_), y(cols_);
    DequantizeRow(tensor_.type, from, cols_, x.data());
    // What stays F32 may be larger: where a head's part does not rotate, its frequencies are divided by 1e30.
    const float largest = type_ == TensorType::kF32 ? std::numeric_limits<float>::max() : kLargest;
    for (const float value : x) {
      if (std::abs(value) <= largest) continue;
      throw MakeError(ErrorCode::kUnsupported,
                      "{}: tensor {} has the weight {}; numbers up to {} can be quantised", file_.Name(),
                      Quoted(tensor_.name), value, largest);
    }
    QuantizeRow(type_, x.data(), cols_, to);
    DequantizeRow(type_, to, cols_, y.data());
    Squares squares;
    for (size_t i = 0; i < cols_; ++i) {
      const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
      squares.weights += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      squares.errors += difference * difference;
    }
    return squares;
  }

  const GgufFile& file_;
  const TensorInfo& tensor_;
  const TensorType type_;
  ThreadPool& threads_;
  const uint64_t cols_;
  uint64_t from_bytes_ = 0, to_bytes_ = 0;
  Squares squares_;
};

}  // namespace

TensorType ParseQuantizedType(std::string_view name) {
  std::string upper(name), known;
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const TensorType type : kQuantizedTypes) {
    if (upper == TensorTypeName(type)) return type;
    known += (known.empty() ? "" : ", ") + TensorTypeName(type);
  }
  throw MakeError(ErrorCode::kInvalid, "{} is no type that weights can be quantised to; these are: {}",
                  Quoted(name), known);
}

std::vector<QuantizePlan> PlanQuantization(const GgufFile& file, const QuantizeOptions& options) {
  std::vector<QuantizePlan> plan;
  for (const TensorInfo& tensor : file.Tensors()) {
    if (!BlockSizeOf(tensor.type)) {
      throw MakeError(ErrorCode::kUnsupported, "{}: tensor {} has {}, which is unknown", file.Name(),
                      Quoted(tensor.name), TensorTypeName(tensor.type));
    }
    if (IsKept(tensor)) {
      plan.push_back({&tensor, IsFloat(tensor.type) ? TensorType::kF32 : tensor.type, false});
      continue;
    }
    if (!IsFloat(tensor.type) && !options.requantize) {
      throw MakeError(
          ErrorCode::kUnsupported,
          "{}: tensor {} is {} already; take the model in F32, F16 or BF16, or --requantize, which "
          "loses more than quantising once",
          file.Name(), Quoted(tensor.name), TensorTypeName(tensor.type));
    }
    const TensorType wanted = Wanted(tensor, options);
    TensorType type = wanted;
    for (const TensorType other : {TensorType::kQ8_0, TensorType::kF16}) {
      if (tensor.dims[0] % BlockSizeOf(type)->elements != 0) type = other;
    }
    plan.push_back({&tensor, type, type != wanted});
  }
  return plan;
}

QuantizeReport QuantizeModel(const GgufFile& file, const std::vector<QuantizePlan>& plan,
                             const QuantizeOptions& options, const std::string& path, ThreadPool& threads,
                             const std::function<void(uint64_t done, uint64_t all)>& progress) {
  uint64_t done = 0, all = 0;
  for (const QuantizePlan& each : plan) all += Elements(*each.tensor);
  AtomicFile out(path);
  const std::vector<uint8_t> header = WriteHeader(file, plan, options.type).Header();
  out.Write(header.data(), header.size());
  QuantizeReport report;
  std::vector<Squares> squares;
  for (const QuantizePlan& each : plan) {
    RowQuantizer rows(file, each, threads);
    const uint64_t cols = each.tensor->dims[0];
    const uint64_t chunk = std::max<uint64_t>(1, kChunkElements / cols);
    uint64_t bytes = 0;
    for (uint64_t row = 0; row < rows.Rows(); row += chunk) {
      const uint64_t count = std::min(chunk, rows.Rows() - row);
      const std::vector<uint8_t> quantized = rows.Quantize(row, count);
      out.Write(quantized.data(), quantized.size());
      bytes += quantized.size();
      done += count * cols;
      progress(done, all);
    }
    const std::vector<uint8_t> zeros(GgufWriter::Padding(bytes));
    out.Write(zeros.data(), zeros.size());
    auto type = std::ranges::find(report.types, each.type, &TypeReport::type);
    if (type == report.types.end()) {
      type = report.types.insert(type, {each.type});
      squares.emplace_back();
    }
    Squares& sum = squares[static_cast<size_t>(type - report.types.begin())];
    sum.weights += rows.Total().weights;
    sum.errors += rows.Total().errors;
    type->tensors += 1;
    type->elements += Elements(*each.tensor);
    type->bytes += bytes;
    type->error = sum.weights > 0 ? std::sqrt(sum.errors / sum.weights) : 0.0;
    report.bytes_before += each.tensor->data.size();
    report.bytes_after += bytes;
  }
  out.Commit();
  return report;
}

}  // namespace throng::model
