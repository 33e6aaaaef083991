#include "device/cuda/cuda_device.h"

#include <cuda_runtime.h>

#include <new>
#include <string>

#include "base/error.h"
#include "device/cuda/kernels.h"

namespace throng::device {
namespace {

void Check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  throw Error(ErrorCode::kUnavailable, std::string("GPU: ") + what + ": " + cudaGetErrorString(result));
}

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int index) : index_(index) {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
    if (index < 0 || index >= count) {
      throw Error(ErrorCode::kUnsupported, "cuda:" + std::to_string(index) + ": this machine has " +
                                               std::to_string(count) + " GPUs that CUDA can use");
    }
    Use();
    Check(cudaGetDeviceProperties(&properties_, index), "asking for its properties");
    Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    Check(cudaStreamCreateWithFlags(&captured_, cudaStreamNonBlocking), "making a stream");
    for (int id = 0; id < kNumKernels; ++id) {
      const CudaKernel& kernel = FindCudaKernel(static_cast<KernelId>(id));
      Check(cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(kernel.shared_bytes)),
            "loading a kernel");
    }
  }
  ~CudaDevice() override {
    cudaStreamDestroy(captured_);
    cudaStreamDestroy(stream_);
  }

  std::string Name() const override {
    return "cuda:" + std::to_string(index_) + " (" + properties_.name + ")";
  }
  std::string Kind() const override { return properties_.name; }

  void* Allocate(size_t bytes) override {
    Use();
    void* memory = nullptr;
    const cudaError_t result = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    if (result == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // or the next launch would report it
      throw std::bad_alloc();
    }
    Check(result, "taking memory");
    return memory;
  }
  void Free(void* memory) noexcept override { cudaFree(memory); }
  size_t FreeBytes() const override {
    Use();
    size_t free = 0;
    size_t total = 0;
    Check(cudaMemGetInfo(&free, &total), "asking for its memory");
    return free;
  }
  void CopyTo(void* device, const void* host, size_t bytes) override {
    Use();
    Check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to it");
    Wait();
  }
  void CopyFrom(void* host, const void* device, size_t bytes) override {
    Use();
    Check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "copying from it");
    Wait();
  }
  void Copy(void* to, const void* from, size_t bytes) override { CopyOn(stream_, to, from, bytes); }
  void Launch(KernelId id, Index3 grid, const void* arguments) override {
    LaunchOn(stream_, id, grid, arguments);
  }
  void Wait() override { Check(cudaStreamSynchronize(stream_), "waiting for kernels"); }

  std::unique_ptr<Graph> Capture(const LaunchList& list) override {
    Use();
    // On a stream of its own: other threads may copy meanwhile.
    Check(cudaStreamBeginCapture(captured_, cudaStreamCaptureModeThreadLocal), "beginning a graph");
    list.ForEach([&](KernelId id, Index3 grid, const void* args) { LaunchOn(captured_, id, grid, args); },
                 [&](void* to, const void* from, size_t bytes) { CopyOn(captured_, to, from, bytes); });
    cudaGraph_t graph = nullptr;
    Check(cudaStreamEndCapture(captured_, &graph), "ending a graph");
    auto kept = std::make_unique<CudaGraph>(*this);
    const cudaError_t result = cudaGraphInstantiate(&kept->graph, graph, 0);
    cudaGraphDestroy(graph);
    Check(result, "making a graph");
    return kept;
  }

 private:
  class CudaGraph final : public Graph {
   public:
    explicit CudaGraph(CudaDevice& device) : device_(device) {}
    ~CudaGraph() override {
      if (graph != nullptr) cudaGraphExecDestroy(graph);
    }
    void Launch() override {
      device_.Use();
      Check(cudaGraphLaunch(graph, device_.stream_), "starting a graph");
    }

    cudaGraphExec_t graph = nullptr;

   private:
    CudaDevice& device_;
  };

  void CopyOn(cudaStream_t stream, void* to, const void* from, size_t bytes) {
    Use();
    Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying within it");
  }
  void LaunchOn(cudaStream_t stream, KernelId id, Index3 grid, const void* arguments) {
    Use();
    const CudaKernel& kernel = FindCudaKernel(id);
    const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                      static_cast<unsigned>(grid.z));
    void* parameters[] = {const_cast<void*>(arguments)};
    Check(cudaLaunchKernel(kernel.function, blocks, dim3(static_cast<unsigned>(kernel.threads)), parameters,
                           kernel.shared_bytes, stream),
          "starting a kernel");
  }
  // CUDA's choice of a GPU is each thread's own.
  void Use() const { Check(cudaSetDevice(index_), "choosing it"); }

  const int index_;
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  cudaStream_t captured_ = nullptr;  // nothing runs there
};

}  // namespace

std::unique_ptr<Device> MakeCudaDevice(int index) { return std::make_unique<CudaDevice>(index); }

}  // namespace throng::device
