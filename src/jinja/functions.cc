// The functions that templates find.

#include <array>
#include <ctime>

#include "base/error.h"
#include "jinja/builtin.h"
#include "jinja/format.h"

namespace throng::jinja {
namespace {

using V = const Value&;
using B = const Bound&;

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox

Value Range(Runtime& runtime, V, B arguments) {
  int64_t start = 0, stop = arguments.Int(0, 0);
  if (arguments.Has(1)) {
    start = stop;
    stop = arguments.Int(1, 0);
  }
  const int64_t step = arguments.Int(2, 1);
  if (step == 0) runtime.Fail("range: the step is 0");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange)
      runtime.Fail("range: it has more than {} numbers", kMaxRange);
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return runtime.NewList(std::move(items));
}

Value MakeDict(Runtime& runtime, V, B arguments) {
  Dict* dict = runtime.NewDict();
  FillDict(runtime, *dict, arguments.More());
  return dict;
}

Value MakeNamespace(Runtime& runtime, V, B arguments) {
  Dict values;
  FillDict(runtime, values, arguments.More());
  Namespace space;
  for (const auto& [key, value] : values.items) {
    if (!key.Is<Text>())
      runtime.Fail("the attributes of a namespace are named by strings, not '{}'", TypeName(key));
    space.Set(key.As<Text>().View(), value);
  }
  return runtime.New(std::move(space));
}

Value MakeCycler(Runtime& runtime, V, B arguments) {
  if (arguments.More().positional.empty()) runtime.Fail("cycler: it needs something to cycle through");
  Cycler cycler;
  cycler.items = arguments.More().positional;
  return runtime.New(std::move(cycler));
}

// Its first call gives nothing, the others the separator.
Value MakeJoiner(Runtime& runtime, V, B arguments) {
  const Value separator = arguments.Has(0) ? arguments[0] : Value(Text::Frame(", "));
  return runtime.NewFunction("joiner",
                             [separator, used = false](Runtime&, const Arguments&) mutable -> Value {
                               return std::exchange(used, true) ? separator : Value(Text());
                             });
}

// Templates may ask whether it is defined.
Value Lipsum(Runtime& runtime, V, B) {
  runtime.Fail("lipsum: it makes texts by chance, which no prompt needs");
}

Value RaiseException(Runtime& runtime, V, B arguments) {
  const Text message = ToText(runtime, arguments[0]);
  runtime.Fail("it refuses these messages: {}", message.View().substr(0, 500));
}

Value StrftimeNow(Runtime& runtime, V, B arguments) {
  const Text format = arguments.String(0);
  if (format.Empty()) return Text();
  if (format.Size() > 1000 || format.View().find('\0') != std::string_view::npos) {
    runtime.Fail("strftime_now: the format is longer than 1000 bytes, or has a byte 0");
  }
  const auto seconds = runtime.Now().time_since_epoch().count();
  const std::time_t time = static_cast<std::time_t>(seconds);
  std::tm fields{};
  gmtime_r(&time, &fields);
  // Whether a result is empty or too long is told apart by a character that is always there.
  const std::string with_mark = std::string(format.View()) + "x";
  std::array<char, 16384> buffer;
  const size_t size = std::strftime(buffer.data(), buffer.size(), with_mark.c_str(), &fields);
  if (size == 0) runtime.Fail("strftime_now: the date is too long");
  const std::string date(buffer.data(), size - 1);
  return format.HasSaid() ? Text::Said(date) : Text::Frame(date);
}

constexpr Builtin kFunctions[] = {
    {"range", "start stop? step?", Range},
    {"dict", "...", MakeDict},
    {"namespace", "...", MakeNamespace},
    {"cycler", "...", MakeCycler},
    {"joiner", "sep?", MakeJoiner},
    {"lipsum", "n? html? min? max?", Lipsum},
    {"raise_exception", "message", RaiseException},
    {"strftime_now", "format", StrftimeNow},
};

}  // namespace

std::span<const Builtin> Functions() { return kFunctions; }

}  // namespace throng::jinja
