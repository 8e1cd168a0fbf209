/* An exported model on a phone: from a photo to an answer by the rule that the file carries.
 *
 * Research software. Not a medical device, not a diagnosis: say so where your users see it.
 *
 * A model is for one thread at a time. Functions that can fail return NULL and write one line into `error`, a buffer of
 * MPOX_ERROR bytes. */
#ifndef MPOX_H
#define MPOX_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MPOX_ERROR 512

typedef struct mpox_model mpox_model;

/* One answer. Its pointers are valid until mpox_free, `labels` until mpox_close. */
typedef struct mpox_answer {
  int classes;
  const char* const* labels;    /* names of the classes */
  const float* probabilities;   /* one a class, calibrated */
  const unsigned char* in_set;  /* one a class: 1 where the prediction set holds it */
  int label;                    /* the answer's number */
  int refer;                    /* 1: for a clinician to see */
  const char* why;              /* why it is referred; empty where it is not */
  int size;                     /* side of the pictures below; pixels are R, G, B from the top left */
  const unsigned char* picture; /* what the network was given, size x size */
  const unsigned char* overlay; /* the same with the answer's map in colour; NULL unless asked for */
  int map_height, map_width;    /* 0 unless asked for */
  const float* map;             /* the answer's map, raw and signed: above zero speaks for the answer; or NULL */
} mpox_answer;

/* Open a .pte file that python -m mpox.export wrote. */
mpox_model* mpox_open(const char* path, char* error);

/* Answer for a JPEG file, as a camera writes it: turned upright, its colours converted to sRGB, its centre square
 * resized. `explain`: 1 for map and overlay. An open file descriptor n is the path /proc/self/fd/n on Android. */
mpox_answer* mpox_classify_jpeg(mpox_model* model, const char* path, int explain, char* error);

/* The same for pixels that were decoded elsewhere (HEIC by the platform): upright, 8-bit sRGB, R, G, B first of
 * `channels` (3, or 4: the fourth is ignored), rows from the top, `row_bytes` apart. They must be at the photo's own
 * size: a platform's scaler gives other pixels. */
mpox_answer* mpox_classify_pixels(mpox_model* model, const unsigned char* pixels, int width, int height, int channels,
                                  size_t row_bytes, int explain, char* error);

int mpox_classes(const mpox_model* model);
const char* mpox_label(const mpox_model* model, int number);
/* 1 where the file takes bytes (size, size, 3), 0 where it takes floats (3, size, size). */
int mpox_takes_bytes(const mpox_model* model);

void mpox_free(mpox_answer* answer);
void mpox_close(mpox_model* model);

#ifdef __cplusplus
}
#endif
#endif
