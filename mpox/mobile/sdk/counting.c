/* A plugin of qemu-aarch64: retired instructions by kind, a line of numbers into out=<file> at each close(-4242).
 *
 * Compiled with -DAPI=<version of the plugin interface>: 1 (qemu 6 to 8), 2 (9.0), 3 (from 9.1). Declared here, since
 * packages of the emulator come without the header. Correct for programs of one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
enum { CLOSE = 57, MARK = -4242 };
enum kind { DOT, INTEGER_PRODUCT, FLOAT_PRODUCT, CONVERSION, OTHER_VECTOR, LOAD, STORE, OTHER, KINDS };

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct info {
  const char* target_name;
};
typedef void (*translated)(plugin_id, struct qemu_plugin_tb*);
typedef void (*executed)(unsigned, void*);
typedef void (*called)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
#if API < 3
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn*, void*, size_t);
#endif
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb*, executed, int flags, void* block);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called);
EXPORT int qemu_plugin_version = API;

static uint64_t counts[KINDS];
static FILE* out;

static uint32_t word_of(const struct qemu_plugin_insn* instruction) {
  uint32_t word = 0;
#if API < 3
  memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
#else
  qemu_plugin_insn_data(instruction, &word, sizeof word);
#endif
  return word;
}

/* What a pattern of bits means: Arm Architecture Reference Manual, A64 encodings. The first that matches counts. */
static const struct {
  uint32_t mask, bits;
  enum kind kind;
} PATTERNS[] = {
    {0x9F20FC00, 0x0E009400, DOT},             /* sdot, udot: vectors */
    {0x9F20FC00, 0x0E009C00, DOT},             /* usdot */
    {0x9F00F400, 0x0F00E000, DOT},             /* sdot, udot: by element */
    {0x9F00F400, 0x0F00F000, DOT},             /* usdot, sudot: by element */
    {0xDFE0F400, 0x4E80A400, DOT},             /* smmla, ummla, usmmla */
    {0x9F20DC00, 0x0E208000, INTEGER_PRODUCT}, /* smlal, smlsl and unsigned */
    {0x9F20FC00, 0x0E20C000, INTEGER_PRODUCT}, /* smull, umull */
    {0x9F20FC00, 0x0E209400, INTEGER_PRODUCT}, /* mla, mls */
    {0x9F20FC00, 0x0E209C00, INTEGER_PRODUCT}, /* mul */
    {0x9F00B400, 0x0F002000, INTEGER_PRODUCT}, /* smlal, smlsl: by element */
    {0x9F00F400, 0x0F00A000, INTEGER_PRODUCT}, /* smull, umull: by element */
    {0x9F00F400, 0x0F008000, INTEGER_PRODUCT}, /* mul: by element */
    {0x9F00E400, 0x0F00C000, INTEGER_PRODUCT}, /* sqdmulh, sqrdmulh: by element */
    {0x9F20FC00, 0x0E20B400, INTEGER_PRODUCT}, /* sqdmulh, sqrdmulh */
    {0x9F20FC00, 0x0E20CC00, FLOAT_PRODUCT},   /* fmla, fmls */
    {0xBF20FC00, 0x2E20DC00, FLOAT_PRODUCT},   /* fmul */
    {0x9F80B400, 0x0F801000, FLOAT_PRODUCT},   /* fmla, fmls: by element */
    {0x9F80F400, 0x0F809000, FLOAT_PRODUCT},   /* fmul: by element */
    {0x9FBFFC00, 0x0E21D800, CONVERSION},      /* scvtf, ucvtf */
    {0x9F3FEC00, 0x0E21A800, CONVERSION},      /* fcvtns, fcvtms, fcvtps, fcvtzs and unsigned */
    {0x9FBFFC00, 0x0E21C800, CONVERSION},      /* fcvtas, fcvtau */
};

static enum kind kind_of(uint32_t word) {
  for (size_t k = 0; k < sizeof PATTERNS / sizeof *PATTERNS; k++)
    if ((word & PATTERNS[k].mask) == PATTERNS[k].bits) return PATTERNS[k].kind;
  if ((word & 0x0E000000) == 0x0E000000) return OTHER_VECTOR; /* scalar float, too */
  if ((word & 0x0A000000) != 0x08000000) return OTHER;        /* integers, branches */
  if ((word & 0x3B000000) == 0x18000000) return LOAD;         /* literal */
  const bool vector = word >> 26 & 1, single = (word & 0x38000000) == 0x38000000;
  if (!single) return word >> 22 & 1 ? LOAD : STORE; /* pairs, exclusive, structures */
  const unsigned operation = word >> 22 & 3;
  return operation & 1 || (operation == 2 && !vector) ? LOAD : STORE;
}

static void on_executed(unsigned core, void* block) {
  (void)core;
  const uint32_t* in_block = block;
  for (int k = 0; k < KINDS; k++) counts[k] += in_block[k];
}

static void on_translated(plugin_id id, struct qemu_plugin_tb* block) {
  (void)id;
  uint32_t* in_block = calloc(KINDS, sizeof *in_block); /* lives as long as the translation, which is to the end */
  if (!in_block) abort();
  for (size_t k = 0; k < qemu_plugin_tb_n_insns(block); k++)
    in_block[kind_of(word_of(qemu_plugin_tb_get_insn(block, k)))]++;
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_executed, 0, in_block);
}

static void on_called(plugin_id id, unsigned core, int64_t number, uint64_t first, uint64_t b, uint64_t c, uint64_t d,
                      uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)core, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  if (number != CLOSE || (int32_t)first != MARK) return;
  for (int k = 0; k < KINDS; k++) fprintf(out, "%llu%c", (unsigned long long)counts[k], k < KINDS - 1 ? ' ' : '\n');
  fflush(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info* info, int count, char** given) {
  if (strcmp(info->target_name, "aarch64") || count != 1 || strncmp(given[0], "out=", 4)) return 1;
  out = fopen(given[0] + 4, "w");
  if (!out) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
  qemu_plugin_register_vcpu_syscall_cb(id, on_called);
  return 0;
}
