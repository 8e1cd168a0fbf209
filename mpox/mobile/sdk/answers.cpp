// Runs `forward` of an exported file on photos, one thread: answers <file> <photos> <answers> <how many>
//
// Photos are the file's inputs one after the other, answers its first output as float32. On stdout: one line, the bytes
// that the heap grew by, at its peak, since before the file was loaded. A plugin of the emulator that counts
// instructions sees close(-4242) before and after each photo; without one it does nothing.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

namespace executorch::extension::threadpool {
// Exported by libexecutorch_threadpool; its header needs pthreadpool's, which the wheel leaves out.
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(unsigned int threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

constexpr int kMark = -4242;

int failed(const char* what, int code) {
  std::fprintf(stderr, "error: %s (%d)\n", what, code);
  return 1;
}

// All allocations from one heap that never shrinks: its size is the peak.
size_t heap() { return mallinfo2().arena; }

}  // namespace

int main(int count, char** given) {
  using executorch::aten::SizesType;
  using executorch::runtime::Error;
  if (count != 5) return failed("usage: answers <file> <photos> <answers> <how many>", count);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(1);
  const size_t before = heap();

  executorch::extension::Module module(given[1]);
  if (const Error error = module.load_method("forward"); error != Error::Ok)
    return failed("the file cannot be loaded", static_cast<int>(error));
  const auto input = module.method_meta("forward")->input_tensor_meta(0);
  const std::vector<SizesType> sizes(input->sizes().begin(), input->sizes().end());
  std::vector<char> photo(input->nbytes());
  std::ifstream photos(given[2], std::ios::binary);
  std::ofstream answers(given[3], std::ios::binary);
  close(kMark);
  for (int k = 0; k < std::atoi(given[4]); ++k) {
    if (!photos.read(photo.data(), static_cast<std::streamsize>(photo.size()))) return failed("too few photos", k);
    const auto tensor = executorch::extension::from_blob(photo.data(), sizes, input->scalar_type());
    close(kMark);
    const auto outputs = module.forward({executorch::runtime::EValue(*tensor)});
    close(kMark);
    if (!outputs.ok()) return failed("the file cannot be run", static_cast<int>(outputs.error()));
    const auto answer = outputs->front().toTensor();
    answers.write(static_cast<const char*>(answer.const_data_ptr()), static_cast<std::streamsize>(answer.nbytes()));
  }
  if (!answers.flush()) return failed("the answers cannot be written", 0);
  std::printf("%zu\n", heap() - before);
  return 0;
}
