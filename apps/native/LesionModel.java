package org.mpox;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** One exported model, by mpox.h. For one thread at a time; call it from a background thread. */
public final class LesionModel implements AutoCloseable {
    static {
        System.loadLibrary("mpox_jni");
    }

    /** One answer; mpox.h explains the fields. */
    public static final class Answer {
        public final String[] labels;
        public final float[] probabilities;
        public final byte[] inSet;
        public final int label;
        public final boolean refer;
        public final String why;
        public final int size;
        public final byte[] picture;
        public final byte[] overlay;
        public final int mapHeight;
        public final int mapWidth;
        public final float[] map;

        private Answer(String[] labels, Object[] parts) {
            int[] numbers = (int[]) parts[0];
            this.labels = labels;
            label = numbers[0];
            refer = numbers[1] != 0;
            size = numbers[2];
            mapHeight = numbers[3];
            mapWidth = numbers[4];
            why = text((byte[]) parts[1]);
            probabilities = (float[]) parts[2];
            inSet = (byte[]) parts[3];
            picture = (byte[]) parts[4];
            overlay = (byte[]) parts[5];
            map = (float[]) parts[6];
        }
    }

    private final byte[] error = new byte[512]; // MPOX_ERROR of mpox.h
    private final String[] labels;
    private long model;

    /** Opens a .pte file: copy it out of the app's assets first. */
    public LesionModel(String path) throws IOException {
        model = open(bytes(path), error);
        if (model == 0) throw new IOException(text(error));
        labels = text(labels(model)).split("\n");
    }

    /** Answers for a JPEG file as the camera wrote it, or for "/proc/self/fd/" + an open descriptor. */
    public Answer classify(String jpeg, boolean explain) throws IOException {
        return answer(classifyJpeg(opened(), bytes(jpeg), explain, error));
    }

    /** Answers for a bitmap's pixels: upright, sRGB, at the photo's own size; R, G, B, A bytes in a direct buffer. */
    public Answer classify(ByteBuffer rgba, int width, int height, int rowBytes, boolean explain) throws IOException {
        if (!rgba.isDirect() || rgba.capacity() < (long) rowBytes * height)
            throw new IOException("give a direct buffer of all rows");
        return answer(classifyPixels(opened(), rgba, width, height, rowBytes, explain, error));
    }

    @Override
    public void close() {
        if (model != 0) close(model);
        model = 0;
    }

    private long opened() throws IOException {
        if (model == 0) throw new IOException("the model is closed");
        return model;
    }

    private Answer answer(Object[] parts) throws IOException {
        if (parts == null) throw new IOException(text(error));
        return new Answer(labels, parts);
    }

    private static byte[] bytes(String text) {
        return (text + "\0").getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        String all = new String(bytes, StandardCharsets.UTF_8);
        int end = all.indexOf('\0');
        return end < 0 ? all : all.substring(0, end);
    }

    private static native long open(byte[] path, byte[] error);

    private static native byte[] labels(long model);

    private static native Object[] classifyJpeg(long model, byte[] path, boolean explain, byte[] error);

    private static native Object[] classifyPixels(
            long model, ByteBuffer rgba, int width, int height, int rowBytes, boolean explain, byte[] error);

    private static native void close(long model);
}
