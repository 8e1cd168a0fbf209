// What LesionModel.java calls. Text crosses as bytes of UTF-8: Java's own functions for text take another encoding.
#include <jni.h>

#include <cstring>
#include <string>

#include "mpox.h"

namespace {

mpox_model* model_of(jlong handle) { return reinterpret_cast<mpox_model*>(handle); }

std::string text_of(JNIEnv* env, jbyteArray bytes) {
  std::string text(static_cast<size_t>(env->GetArrayLength(bytes)), '\0');
  env->GetByteArrayRegion(bytes, 0, static_cast<jsize>(text.size()), reinterpret_cast<jbyte*>(text.data()));
  return text;
}

jbyteArray bytes_of(JNIEnv* env, const void* from, size_t count) {
  jbyteArray bytes = from ? env->NewByteArray(static_cast<jsize>(count)) : nullptr;
  if (bytes) env->SetByteArrayRegion(bytes, 0, static_cast<jsize>(count), static_cast<const jbyte*>(from));
  return bytes;
}

jfloatArray floats_of(JNIEnv* env, const float* from, int count) {
  jfloatArray floats = from ? env->NewFloatArray(count) : nullptr;
  if (floats) env->SetFloatArrayRegion(floats, 0, count, from);
  return floats;
}

void give_error(JNIEnv* env, jbyteArray to, const char* error) {
  env->SetByteArrayRegion(to, 0, MPOX_ERROR, reinterpret_cast<const jbyte*>(error));
}

// In the order in which LesionModel.Answer reads them; frees the answer. Null where Java has no memory left.
jobjectArray parts_of(JNIEnv* env, mpox_answer* answer) {
  const size_t pixels = 3 * static_cast<size_t>(answer->size) * answer->size;
  const jint numbers[] = {answer->label, answer->refer, answer->size, answer->map_height, answer->map_width};
  jintArray facts = env->NewIntArray(5);
  if (facts) env->SetIntArrayRegion(facts, 0, 5, numbers);
  const jobject parts[] = {facts,
                           bytes_of(env, answer->why, std::strlen(answer->why)),
                           floats_of(env, answer->probabilities, answer->classes),
                           bytes_of(env, answer->in_set, static_cast<size_t>(answer->classes)),
                           bytes_of(env, answer->picture, pixels),
                           bytes_of(env, answer->overlay, pixels),
                           floats_of(env, answer->map, answer->map_height * answer->map_width)};
  mpox_free(answer);
  if (env->ExceptionCheck()) return nullptr;
  jobjectArray all = env->NewObjectArray(7, env->FindClass("java/lang/Object"), nullptr);
  for (jsize k = 0; all && k < 7; ++k) env->SetObjectArrayElement(all, k, parts[k]);
  return all;
}

jobjectArray given(JNIEnv* env, mpox_answer* answer, jbyteArray to, const char* error) {
  if (answer) return parts_of(env, answer);
  give_error(env, to, error);
  return nullptr;
}

}  // namespace

extern "C" {

JNIEXPORT jlong JNICALL Java_org_mpox_LesionModel_open(JNIEnv* env, jclass, jbyteArray path, jbyteArray to) {
  char error[MPOX_ERROR] = "";
  mpox_model* model = mpox_open(text_of(env, path).c_str(), error);
  if (!model) give_error(env, to, error);
  return reinterpret_cast<jlong>(model);
}

JNIEXPORT jbyteArray JNICALL Java_org_mpox_LesionModel_labels(JNIEnv* env, jclass, jlong model) {
  std::string all;
  for (int k = 0; k < mpox_classes(model_of(model)); ++k) all += mpox_label(model_of(model), k) + std::string("\n");
  return bytes_of(env, all.data(), all.size());
}

JNIEXPORT jobjectArray JNICALL Java_org_mpox_LesionModel_classifyJpeg(JNIEnv* env, jclass, jlong model, jbyteArray path,
                                                                      jboolean explain, jbyteArray to) {
  char error[MPOX_ERROR] = "";
  return given(env, mpox_classify_jpeg(model_of(model), text_of(env, path).c_str(), explain, error), to, error);
}

JNIEXPORT jobjectArray JNICALL Java_org_mpox_LesionModel_classifyPixels(JNIEnv* env, jclass, jlong model, jobject rgba,
                                                                        jint width, jint height, jint row_bytes,
                                                                        jboolean explain, jbyteArray to) {
  char error[MPOX_ERROR] = "";
  const auto* pixels = static_cast<const unsigned char*>(env->GetDirectBufferAddress(rgba));
  const size_t bytes = row_bytes < 0 ? 0 : static_cast<size_t>(row_bytes);  // too few: refused
  return given(env, mpox_classify_pixels(model_of(model), pixels, width, height, 4, bytes, explain, error), to, error);
}

JNIEXPORT void JNICALL Java_org_mpox_LesionModel_close(JNIEnv*, jclass, jlong model) { mpox_close(model_of(model)); }

}  // extern "C"
