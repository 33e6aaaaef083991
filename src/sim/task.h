// A coroutine with one result, which lets agents await completions without a thread each.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "base/huge_pages.h"
#include "sim/frame_pool.h"

namespace throng::sim {

template <typename T>
class Task;

namespace internal {

// Resumes the coroutine that awaits the ended task; symmetric transfer keeps the stack flat.
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
    const std::coroutine_handle<> waiter = handle.promise().waiter;
    return waiter ? waiter : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> waiter;
  std::exception_ptr error;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() { error = std::current_exception(); }
  void Check() const {
    if (error) std::rethrow_exception(error);
  }
  static void* operator new(size_t size) { return FramePool::OfThread().Take(size); }
  static void operator delete(void* frame, size_t size) noexcept {
    FramePool::OfThread().GiveBack(frame, size);
  }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  void return_value(T v) { value.emplace(std::move(v)); }
  T Take() {
    Check();
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void Take() { Check(); }
};

}  // namespace internal

// Starts when it is first awaited or resumed, and owns its coroutine frame.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // For the outermost task: runs until the first suspension. The task must stay alive until Done().
  void Start() { handle_.resume(); }
  // Hint: it will be resumed soon. Fetches the start of the frame.
  void Prefetch() const { throng::Prefetch(static_cast<const char*>(handle_.address()), kPrefetchBytes); }
  bool Done() const { return handle_.done(); }
  // Returns the value, or throws the exception that ended the task. Only when Done().
  T Take() { return handle_.promise().Take(); }
  void Check() const { handle_.promise().Check(); }  // throws the exception that ended the task, if any

  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle handle;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) const noexcept {
        handle.promise().waiter = waiter;
        return handle;
      }
      T await_resume() const { return handle.promise().Take(); }
    };
    return Awaiter{handle_};
  }

 private:
  static constexpr size_t kPrefetchBytes = 192;
  Handle handle_ = nullptr;
};

namespace internal {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace internal

namespace internal {

// Resumes one waiter when the last of several tasks has passed.
struct Gate {
  size_t left = 0;
  std::coroutine_handle<> waiter;
};

struct WaitAtGate {
  Gate& gate;
  bool await_ready() const noexcept { return gate.left == 0; }
  void await_suspend(std::coroutine_handle<> waiter) const noexcept { gate.waiter = waiter; }
  void await_resume() const noexcept {}
};

// The passing task stays suspended permanently, so that the waiter, which owns its frame, may destroy it.
struct PassGate {
  Gate& gate;
  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const noexcept {
    if (--gate.left == 0 && gate.waiter) return gate.waiter;
    return std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

template <typename T>
Task<void> RunThroughGate(Task<T> task, std::optional<T>& value, std::exception_ptr& error, Gate& gate) {
  try {
    value.emplace(co_await std::move(task));
  } catch (...) {
    error = std::current_exception();
  }
  PassGate pass{gate};
  co_await pass;
}

}  // namespace internal

// Runs the tasks concurrently and returns their values in the order of the tasks. If some fail, throws the
// error of the first of them in that order, after all have ended. Tasks that run together must not write the
// same things, or the result would depend on timing.
template <typename T>
Task<std::vector<T>> WhenAll(std::vector<Task<T>> tasks) {
  std::vector<std::optional<T>> values(tasks.size());
  std::vector<std::exception_ptr> errors(tasks.size());
  std::vector<Task<void>> runs;
  internal::Gate gate;
  gate.left = tasks.size();
  for (size_t i = 0; i < tasks.size(); ++i) {
    runs.push_back(internal::RunThroughGate(std::move(tasks[i]), values[i], errors[i], gate));
  }
  for (Task<void>& run : runs) run.Start();
  internal::WaitAtGate wait{gate};
  co_await wait;
  std::vector<T> result;
  for (size_t i = 0; i < values.size(); ++i) {
    if (errors[i]) std::rethrow_exception(errors[i]);
    result.push_back(std::move(*values[i]));
  }
  co_return result;
}

}  // namespace throng::sim
